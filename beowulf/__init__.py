"""beowulf: one training cluster out of the machines a lab already owns."""

__version__ = "0.1.0"
