"""Variants of one fit's problem, over beta or over seeds, that are trained together."""

from abc import ABC, abstractmethod
from dataclasses import replace

from skvib.base import train_problems


class Variants(ABC):
    """Stands in for `train_problems`: trains what one fit asks for in all its variants, and answers with its own.

    Attributes
    ----------
    problem, settings
        What was asked for last.
    trainings : list of Training
        What came of it.
    """

    def __init__(self):
        self.train = train_problems.get()

    def __enter__(self):
        self.token = train_problems.set(self)
        return self

    def __exit__(self, *exception):
        train_problems.reset(self.token)

    def __call__(self, problems, settings):
        (problem,) = problems
        if not self.holds(problem):
            return self.train(problems, settings)
        self.problem, self.settings = problem, settings
        self.trainings = self.train(self.of(problem), settings)
        return [self.own(problem)]

    def holds(self, problem):
        """Whether it is one of the variants."""
        return problem.start is None

    @abstractmethod
    def of(self, problem):
        """The problems to train."""

    @abstractmethod
    def own(self, problem):
        """The Training of the problem itself."""


class OverBetas(Variants):
    """At several betas: "amortized", as one network for all, or "exact", as one each."""

    def __init__(self, betas, method="amortized"):
        super().__init__()
        self.betas, self.method = tuple(betas), method

    def holds(self, problem):
        return super().holds(problem) and problem.betas[0] in self.betas

    def of(self, problem):
        (own,) = problem.betas
        watched = tuple(problem.monitors[0] if problem.monitors and beta == own else None for beta in self.betas)
        if self.method == "amortized":
            return [replace(problem, betas=self.betas, monitors=watched)]
        pairs = zip(self.betas, watched, strict=True)
        return [replace(problem, betas=(beta,), monitors=(monitor,)) for beta, monitor in pairs]

    def own(self, problem):
        return training_at(self.trainings, problem.betas[0])


class OverSeeds(Variants):
    """From its own seed and from those that follow it."""

    def __init__(self, n_seeds):
        super().__init__()
        self.n_seeds = n_seeds

    def of(self, problem):
        others = [replace(problem, seed=problem.seed + k, monitors=()) for k in range(1, self.n_seeds)]
        return [problem, *others]

    def own(self, problem):
        return self.trainings[0]


def training_at(trainings, beta):
    """The training of a path at one of its betas; None if it has none there."""
    found = [training.at(beta) for training in trainings if beta in training.betas]
    return found[0] if found else None
