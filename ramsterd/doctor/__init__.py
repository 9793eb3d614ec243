"""Is this machine fit for a node: facts in, findings out, each with the line to type.  Before the first start and after."""
