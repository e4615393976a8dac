"""`python -m pressrun` is `pressrun`."""

from pressrun.cli import main

main()
