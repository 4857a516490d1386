"""All that knows RecBole's insides, so that nothing above has to."""
