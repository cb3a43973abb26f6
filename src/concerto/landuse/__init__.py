"""Land use: its history, the transitions it makes, its products and its emissions."""
