"""The components of the line, under TFX's names: one file each, a function of folders."""
