"""`python -m ramsterd` is `ramsterd`, also where no command was installed."""

from ramsterd.entry import main

main()
