"""All that knows RecBole's insides: where it looks things up, and what is put right there."""

from recbole_dmf.host.compat.surprises import anomaly_detection_stays

with anomaly_detection_stays():
    import recbole.model.sequential_recommender  # noqa: F401
