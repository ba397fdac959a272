"""Variants of one fit's problems, over beta, that are trained together."""

from dataclasses import replace

from skvib.base import succeeded, train_problems


class OverBetas:
    """Stands in for `train_problems`: trains what one fit asks for at several betas, and answers with its own.

    "amortized" trains one network for all betas, "exact" one for each.

    Attributes
    ----------
    problems, settings
        What was asked for last: a problem for each network of an ensemble.
    trainings : list of list of Training
        What came of each problem.
    """

    def __init__(self, betas, method="amortized"):
        self.betas, self.method, self.train = tuple(betas), method, train_problems.get()

    def __enter__(self):
        self.token = train_problems.set(self)
        return self

    def __exit__(self, *exception):
        train_problems.reset(self.token)

    def __call__(self, problems, settings):
        if problems[0].start is not None or problems[0].betas[0] not in self.betas:
            return self.train(problems, settings)
        self.problems, self.settings = problems, settings
        variants = [self._of(problem) for problem in problems]
        trained = iter(succeeded(self.train([one for own in variants for one in own], settings)))
        self.trainings = [[next(trained) for _ in own] for own in variants]
        return [training_at(own, problem.betas[0]) for own, problem in zip(self.trainings, problems, strict=True)]

    def _of(self, problem):
        (own,) = problem.betas
        watched = tuple(problem.monitors[0] if problem.monitors and beta == own else None for beta in self.betas)
        if self.method == "amortized":
            return [replace(problem, betas=self.betas, monitors=watched)]
        pairs = zip(self.betas, watched, strict=True)
        return [replace(problem, betas=(beta,), monitors=(monitor,)) for beta, monitor in pairs]


def training_at(trainings, beta):
    """The training of a path at one of its betas; None if it has none there."""
    found = [training.at(beta) for training in trainings if beta in training.betas]
    return found[0] if found else None
