"""RecBole's models of names that ours have taken, under names of their own."""

from recbole.model.general_recommender.dmf import DMF as BuiltInDMF
from recbole.model.general_recommender.ease import EASE as BuiltInEASE
from recbole.model.general_recommender.itemknn import ItemKNN as BuiltInItemKNN
from recbole.model.sequential_recommender.sasrec import SASRec as BuiltInSASRec


class RecBoleDMF(BuiltInDMF):
    """RecBole's built-in DMF, for side-by-side runs."""


class RecBoleEASE(BuiltInEASE):
    """RecBole's built-in EASE, for side-by-side runs."""


class RecBoleItemKNN(BuiltInItemKNN):
    """RecBole's built-in ItemKNN, for side-by-side runs."""


class RecBoleSASRec(BuiltInSASRec):
    """RecBole's built-in SASRec, for side-by-side runs."""
