"""How much each weight matters to earlier tasks: gradient moments, Fisher information, penalties."""
