"""What streams are made with."""
