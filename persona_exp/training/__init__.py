"""Examples and a base model go in, an adapter comes out; a killed run goes on from its checkpoint."""

# Raise it when the same trial would train to a different result: it is part of every trained trial's identity.
TRAINING_VERSION = 3
