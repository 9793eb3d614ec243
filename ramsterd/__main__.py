"""`python -m ramsterd` is `ramsterd`, also where no command was installed."""

from ramsterd.cli import main

main(prog_name="ramsterd")
