"""What all measurements have in common."""

LAYERS = [64, 64]
LARGE_BATCH = 65_536
LARGEST_BATCH = 2_097_152  # of the growth
SASREC = {"hidden_size": 64, "n_layers": 2, "n_heads": 2}  # RecBole's defaults
# users, items, ratings; one has the shape of Amazon Movies (Table 1)
GROWTH = [
    (700, 1_200, 100_000),
    (6_040, 3_706, 1_000_209),
    (34_500, 13_500, 5_000_000),
    (9_582, 92_221, 766_759),
    (138_000, 27_000, 20_000_000),
    (500_000, 60_000, 100_000_000),
]
USUAL_GROWTH = GROWTH[-2]  # the largest that is measured unless asked for
CATALOGUE = (100_000, 1_000_000, 2_000_000)
PARTS = ("read", "split", "model", "epoch", "evaluation")  # of a run at any size
