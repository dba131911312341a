"""The papers that a study rests on, as BibTeX: those that its metrics, regimes and analyses name."""

import re
from collections.abc import Iterable
from typing import NamedTuple


class Paper(NamedTuple):
    """One entry: its key, who wrote it, what it is called, when and where it came out."""

    key: str
    authors: str
    title: str
    year: int
    where: str


# By its arXiv number or its DOI, as docstrings name it.
PAPERS: dict[str, Paper] = {
    "1510.03055": Paper(
        "li2016diversity",
        "Li, Jiwei and Galley, Michel and Brockett, Chris and Gao, Jianfeng and Dolan, Bill",
        "A Diversity-Promoting Objective Function for Neural Conversation Models",
        2016,
        "Conference of the North American Chapter of the Association for Computational Linguistics",
    ),
    "1511.01844": Paper(
        "theis2016note",
        "Theis, Lucas and van den Oord, Aäron and Bethge, Matthias",
        "A note on the evaluation of generative models",
        2016,
        "International Conference on Learning Representations",
    ),
    "1606.03498": Paper(
        "salimans2016improved",
        "Salimans, Tim and Goodfellow, Ian and Zaremba, Wojciech and Cheung, Vicki and Radford, Alec and Chen, Xi",
        "Improved Techniques for Training {GANs}",
        2016,
        "Advances in Neural Information Processing Systems",
    ),
    "1706.08500": Paper(
        "heusel2017gans",
        "Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp",
        "{GANs} Trained by a Two Time-Scale Update Rule Converge to a Local {Nash} Equilibrium",
        2017,
        "Advances in Neural Information Processing Systems",
    ),
    "1801.01401": Paper(
        "binkowski2018demystifying",
        "Bińkowski, Mikołaj and Sutherland, Danica J. and Arbel, Michael and Gretton, Arthur",
        "Demystifying {MMD} {GANs}",
        2018,
        "International Conference on Learning Representations",
    ),
    "1802.01886": Paper(
        "zhu2018texygen",
        "Zhu, Yaoming and Lu, Sidi and Zheng, Lei and Guo, Jiaxian and Zhang, Weinan and Wang, Jun and Yu, Yong",
        "Texygen: A Benchmarking Platform for Text Generation Models",
        2018,
        "International ACM SIGIR Conference on Research and Development in Information Retrieval",
    ),
    "1904.06991": Paper(
        "kynkaanniemi2019improved",
        "Kynkäänniemi, Tuomas and Karras, Tero and Laine, Samuli and Lehtinen, Jaakko and Aila, Timo",
        "Improved Precision and Recall Metric for Assessing Generative Models",
        2019,
        "Advances in Neural Information Processing Systems",
    ),
    "1905.10887": Paper(
        "ravuri2019classification",
        "Ravuri, Suman and Vinyals, Oriol",
        "Classification Accuracy Score for Conditional Generative Models",
        2019,
        "Advances in Neural Information Processing Systems",
    ),
    "1908.04319": Paper(
        "welleck2020neural",
        "Welleck, Sean and Kulikov, Ilia and Roller, Stephen and Dinan, Emily and Cho, Kyunghyun and Weston, Jason",
        "Neural Text Generation with Unlikelihood Training",
        2020,
        "International Conference on Learning Representations",
    ),
    "1911.07023": Paper(
        "chong2020effectively",
        "Chong, Min Jin and Forsyth, David",
        "Effectively Unbiased {FID} and Inception Score and Where to Find Them",
        2020,
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition",
    ),
    "2002.00937": Paper(
        "sablayrolles2020radioactive",
        "Sablayrolles, Alexandre and Douze, Matthijs and Schmid, Cordelia and Jégou, Hervé",
        "Radioactive data: tracing through training",
        2020,
        "International Conference on Machine Learning",
    ),
    "2002.09797": Paper(
        "naeem2020reliable",
        "Naeem, Muhammad Ferjad and Oh, Seong Joon and Uh, Youngjung and Choi, Yunjey and Yoo, Jaejun",
        "Reliable Fidelity and Diversity Metrics for Generative Models",
        2020,
        "International Conference on Machine Learning",
    ),
    "2004.05675": Paper(
        "meehan2020nonparametric",
        "Meehan, Casey and Chaudhuri, Kamalika and Dasgupta, Sanjoy",
        "A Non-Parametric Test to Detect Data-Copying in Generative Models",
        2020,
        "International Conference on Artificial Intelligence and Statistics",
    ),
    "2102.08921": Paper(
        "alaa2022faithful",
        "Alaa, Ahmed M. and van Breugel, Boris and Saveliev, Evgeny and van der Schaar, Mihaela",
        "How Faithful is your Synthetic Data? {Sample}-level Metrics for Evaluating and Auditing Generative Models",
        2022,
        "International Conference on Machine Learning",
    ),
    "2202.07646": Paper(
        "carlini2023quantifying",
        "Carlini, Nicholas and Ippolito, Daphne and Jagielski, Matthew and Lee, Katherine and others",
        "Quantifying Memorization Across Neural Language Models",
        2023,
        "International Conference on Learning Representations",
    ),
    "2206.08549": Paper(
        "han2023rarity",
        "Han, Jiyeon and Choi, Hwanil and Choi, Yunjey and Kim, Junho and Ha, Jung-Woo and Choi, Jaesik",
        "Rarity Score: A New Metric to Evaluate the Uncommonness of Synthesized Images",
        2023,
        "International Conference on Learning Representations",
    ),
    "2210.02410": Paper(
        "friedman2023vendi",
        "Friedman, Dan and Dieng, Adji Bousso",
        "The {Vendi} Score: A Diversity Evaluation Metric for Machine Learning",
        2023,
        "Transactions on Machine Learning Research",
    ),
    "2211.08095": Paper(
        "hataya2023corrupt",
        "Hataya, Ryuichiro and Bao, Han and Arai, Hiromi",
        "Will Large-scale Generative Models Corrupt Future Datasets?",
        2023,
        "International Conference on Computer Vision",
    ),
    "2301.13188": Paper(
        "carlini2023extracting",
        "Carlini, Nicholas and Hayes, Jamie and Nasr, Milad and others",
        "Extracting Training Data from Diffusion Models",
        2023,
        "USENIX Security Symposium",
    ),
    "2307.01850": Paper(
        "alemohammad2024selfconsuming",
        "Alemohammad, Sina and Casco-Rodriguez, Josue and Luzi, Lorenzo and others",
        "Self-Consuming Generative Models Go {MAD}",
        2024,
        "International Conference on Learning Representations",
    ),
    "2310.12952": Paper(
        "pasarkar2024cousins",
        "Pasarkar, Amey P. and Dieng, Adji Bousso",
        "Cousins Of The {Vendi} Score: A Family Of Similarity-Based Diversity Metrics For Science And Machine Learning",
        2024,
        "International Conference on Artificial Intelligence and Statistics",
    ),
    "2402.11846": Paper(
        "zhang2024unlearncanvas",
        "Zhang, Yihua and Fan, Chongyu and Zhang, Yimeng and Yao, Yuguang and Jia, Jinghan and Liu, Jiancheng and "
        "Zhang, Gaoyuan and Liu, Gaowen and Kompella, Ramana Rao and Liu, Xiaoming and Liu, Sijia",
        "{UnlearnCanvas}: A Stylized Image Dataset for Enhanced Machine Unlearning Evaluation in Diffusion Models",
        2024,
        "Advances in Neural Information Processing Systems",
    ),
    "2404.01413": Paper(
        "gerstgrasser2024inevitable",
        "Gerstgrasser, Matthias and Schaeffer, Rylan and Dey, Apratim and others",
        "Is Model Collapse Inevitable? {Breaking} the Curse of Recursion by Accumulating Real and Synthetic Data",
        2024,
        "arXiv preprint",
    ),
    "2406.07515": Paper(
        "feng2024beyond",
        "Feng, Yunzhen and Dohmatob, Elvis and Yang, Pu and Charton, François and Kempe, Julia",
        "Beyond Model Collapse: Scaling Up with Synthesized Data Requires Verification",
        2024,
        "arXiv preprint",
    ),
    "2410.16713": Paper(
        "kazdan2024collapse",
        "Kazdan, Joshua and Schaeffer, Rylan and Dey, Apratim and others",
        "Collapse or Thrive? {Perils} and Promises of Synthetic Data in a Self-Generating World",
        2024,
        "arXiv preprint",
    ),
    "2412.17646": Paper(
        "suresh2024rate",
        "Suresh, Ananda Theertha and Thangaraj, Andrew and Khandavally, Aditya Nanda Kishore",
        "Rate of Model Collapse in Recursive Training",
        2024,
        "arXiv preprint",
    ),
    "2503.03150": Paper(
        "schaeffer2025position",
        "Schaeffer, Rylan and Kazdan, Joshua and Arulandu, Alvan Caleb and Koyejo, Sanmi",
        "Position: Model Collapse Does Not Mean What You Think",
        2025,
        "arXiv preprint",
    ),
    "2509.16499": Paper(
        "shi2025closer",
        "Shi, Lianghe and Wu, Meng and Zhang, Huijie and Zhang, Zekai and Tao, Molei and Qu, Qing",
        "A Closer Look at Model Collapse: From a Generalization-to-Memorization Perspective",
        2025,
        "Advances in Neural Information Processing Systems",
    ),
    "10.1002/sim.1781": Paper(
        "agresti2005matched",
        "Agresti, Alan and Min, Yongyi",
        "Simple improved confidence intervals for comparing matched proportions",
        2005,
        "Statistics in Medicine",
    ),
    "10.1038/s41586-024-07566-y": Paper(
        "shumailov2024collapse",
        "Shumailov, Ilia and Shumaylov, Zakhar and Zhao, Yiren and Papernot, Nicolas and Anderson, Ross and Gal, Yarin",
        "{AI} models collapse when trained on recursively generated data",
        2024,
        "Nature",
    ),
    "10.1111/j.1469-1809.1955.tb01285.x": Paper(
        "haldane1956estimation",
        "Haldane, J. B. S.",
        "The estimation and significance of the logarithm of a ratio of frequencies",
        1956,
        "Annals of Human Genetics",
    ),
    "10.1080/00031305.2015.1089789": Paper(
        "hesterberg2015bootstrap",
        "Hesterberg, Tim C.",
        "What Teachers Should Know About the Bootstrap: Resampling in the Undergraduate Statistics Curriculum",
        2015,
        "The American Statistician",
    ),
}
BRACES = str.maketrans("", "", "{}")
NAMED = re.compile(r"(?:arXiv |arxiv\.org/abs/)(\d{4}\.\d{4,5})|(10\.\d{4}/[\w./-]*\w)")


def named(texts: Iterable[str]) -> list[str]:
    """The arXiv numbers and DOIs that texts name, in the order of their first mention."""
    return list(dict.fromkeys(number or doi for text in texts for number, doi in NAMED.findall(text)))


def bibtex(numbers: Iterable[str]) -> str:
    """An entry for each of the papers that is known, in order of their keys."""
    known = sorted(((PAPERS[number], number) for number in numbers if number in PAPERS), key=lambda pair: pair[0].key)
    return "\n".join(_entry(paper, number) for paper, number in known)


def address(number: str) -> str:
    """Where a paper is found by its DOI or its arXiv number."""
    return f"https://doi.org/{number}" if "/" in number else f"https://arxiv.org/abs/{number}"


def listed(numbers: Iterable[str]) -> list[tuple[str, str]]:
    """Each paper in words, and where it is found: those that are known by author and year, others by their number."""
    found = []
    for number in numbers:
        paper = PAPERS.get(number)
        first, *others = re.split(r" and ", paper.authors) if paper else ("",)
        names = first.partition(",")[0] + (" et al." if len(others) > 1 else "")
        names += f" and {others[0].partition(',')[0]}" if len(others) == 1 else ""
        known = f"{names} ({paper.year}), {paper.title.translate(BRACES)}" if paper else ""
        found.append((known or (number if "/" in number else f"arXiv {number}"), address(number)))
    return found


def _entry(paper: Paper, number: str) -> str:
    arxiv = "/" not in number
    kind, place = ("misc", "howpublished") if paper.where == "arXiv preprint" else ("inproceedings", "booktitle")
    if not arxiv or paper.where.startswith("Transactions"):
        kind, place = "article", "journal"
    fields = {"author": paper.authors, "title": paper.title, "year": str(paper.year), place: paper.where}
    fields |= {"eprint": number, "archiveprefix": "arXiv"} if arxiv else {"doi": number}
    return f"@{kind}{{{paper.key},\n" + "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items()) + "}\n"
