"""`python -m affekt` is the command line."""

from affekt.cli import main

main()
