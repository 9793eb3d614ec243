"""The ancestor's benchmark: a compiler, more and more of it at once, in a machine with too little memory."""
