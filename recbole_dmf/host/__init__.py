"""All that knows RecBole's insides: where it looks things up, and what is put right there."""
