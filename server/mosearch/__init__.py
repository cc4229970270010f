"""MoSEarch: a semantic index of the functions in a workspace, for any LSP editor and the shell."""

__version__ = "0.1.0"
