"""Whose real data are, and what may be done with them: what an export and its dossier say of a study's source."""

from typing import NamedTuple


class Rights(NamedTuple):
    """Whose data they are and what may be done with them, as their publishers say it; empty where nobody knows.

    licence: an identifier of SPDX. owner: who made or publishes them. collected: when. people: what of people is in
    them. address: where they are published. note: what else whoever passes them on has to know.
    """

    licence: str = ""
    owner: str = ""
    collected: str = ""
    people: str = ""
    address: str = ""
    note: str = ""


# -- of data sets that several entries read ----------------------------------------------------------------------------

MNIST = Rights(
    licence="CC-BY-SA-3.0",
    owner="Y. LeCun, C. Cortes and C. J. C. Burges, after NIST's Special Databases 1 and 3",
    collected="published in 1998",
    people="handwriting of about 500 people, who are not named",
    address="http://yann.lecun.com/exdb/mnist/",
)

FASHION_MNIST = Rights(
    licence="MIT",
    owner="Zalando SE (H. Xiao, K. Rasul and R. Vollgraf)",
    collected="published in 2017",
    people="none: photographs of single pieces of clothing",
    address="https://github.com/zalandoresearch/fashion-mnist",
)

CIFAR10 = Rights(
    owner="A. Krizhevsky, V. Nair and G. Hinton",
    collected="published in 2009",
    people="classes of animals and vehicles; nobody has checked that no person is in a picture",
    address="https://www.cs.toronto.edu/~kriz/cifar.html",
    note="a labelled part of 80 Million Tiny Images, which were found by web search and withdrawn by their authors in "
    "2020; published without a licence",
)
