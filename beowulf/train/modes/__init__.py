"""How ranks share what they learn: exactly, in fewer bytes, or less often.

communication = Communication(model, read_choice(os.environ.get("BEOWULF_COMMUNICATION", "")))
"""

from beowulf.train.modes.choice import AUTO, MODES, VARIABLE, Choice, read_choice
from beowulf.train.modes.communication import Communication

__all__ = ["AUTO", "MODES", "VARIABLE", "Choice", "Communication", "read_choice"]
