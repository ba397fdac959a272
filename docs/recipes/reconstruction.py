"""A second head: the code of a row describes the row itself, too."""

from dataclasses import replace

from skvib.nn.heads import Decoder, Head
from skvib.nn.likelihoods import Gaussian
from skvib.nn.network import Architecture


class Reconstructing(Architecture):
    """An architecture whose codes also describe a column "x", the inputs."""

    def heads(self, latent_dims, linear, row_values):
        likelihood = Gaussian(len(latent_dims), self.n_features, row_values)
        widths = (*self.decoder_hidden_layer_sizes, likelihood.n_parameters)
        decoder = Decoder(latent_dims, widths, self.activation, linear)
        return super().heads(latent_dims, linear, row_values) | {"x": Head("reconstruction", likelihood, decoder)}


def with_reconstruction(problem, settings, weight):
    """The same with that head, in which a row has this weight times its own."""
    rows = problem.rows
    rows = rows._replace(targets=rows.targets | {"x": rows.inputs}, shares=rows.shares | {"x": weight * rows.weights})
    architecture = Reconstructing(**vars(settings.architecture))
    return replace(problem, rows=rows), replace(settings, architecture=architecture)
