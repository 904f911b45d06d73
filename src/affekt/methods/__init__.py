"""What the papers add of their own: one paper, one file."""
