"""Training the optimizer: supervised, on preferences, and in rounds. Flat functions over TRL and peft."""
