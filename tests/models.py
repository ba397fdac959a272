"""The networks of the tests, in three sizes; a test adds how long it trains, and what it is about."""

TINY = {"hidden_layer_sizes": (8,), "latent_dim": 2, "random_state": 0}
SMALL = {"hidden_layer_sizes": (16,), "latent_dim": 3, "random_state": 0}
MEDIUM = {"hidden_layer_sizes": (32,), "latent_dim": 4, "random_state": 0}
# as many steps as there are, and the weights of the last one
PLAIN = {"early_stopping": False, "ema_decay": 0.0}
# for a few epochs
QUICK = {"learning_rate_init": 1e-2}
