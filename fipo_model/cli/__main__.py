"""`python -m fipo_model.cli`, the same as `fipo`."""

from fipo_model.cli import main

main()
