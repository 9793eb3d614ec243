"""`python -m ramsterd` is `ramsterd`, also where no command was installed."""

from ramsterd.cli.entry import main

main()
