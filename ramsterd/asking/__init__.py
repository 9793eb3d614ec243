"""Commands of operators that one node passes on to another: what is said, who may, and how much at once."""
