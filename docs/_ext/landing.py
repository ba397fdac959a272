"""The frames of the landing page: the two-dimensional code of digits at every beta of one path."""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvib import VIBClassifier, beta_path

FRAMES = Path(__file__).parents[1] / "_generated" / "landing_frames.js"
N_DIGITS = 300


def make_frames(app):
    """Train the path and write its frames."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    model = VIBClassifier(latent_dim=2, hidden_layer_sizes=(128, 128), max_iter=200, random_state=0)
    path = beta_path(model, X_train, y_train, beta_range=(1e-4, 1.0))
    frames = []
    for beta in np.geomspace(1e-4, 1.0, 41):
        fitted = path.at_beta(beta)
        mu, sigma = fitted.encode(X_test[:N_DIGITS])
        confidence = fitted.predict_proba(X_test).max(axis=1).mean()
        frames.append(
            {
                "beta": float(f"{beta:.3g}"),
                "rate": round(float(fitted.rate_samples(X_test).mean()), 2),
                "accuracy": round(fitted.score(X_test, y_test), 3),
                "confidence": round(float(confidence), 3),
                "radius": round(max(3.0, float(np.quantile(np.abs(mu), 0.995))), 2),
                "z": np.round(mu, 2).ravel().tolist(),
                "sigma": np.round(np.median(sigma, axis=0), 3).tolist(),
            }
        )
    data = {"digits": y_test[:N_DIGITS].tolist(), "frames": frames}
    FRAMES.write_text(f"const LANDING = {json.dumps(data, separators=(',', ':'))};\n")


def setup(app):
    FRAMES.parent.mkdir(exist_ok=True)
    app.connect("builder-inited", make_frames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
