"""The part that all front ends share: clients are admitted and counted, their requests received, served and answered."""
