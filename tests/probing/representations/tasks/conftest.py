"""Three sentences with every annotation that tasks ask for."""

from dataclasses import replace

import pytest

from bertology.corpora import Argument, Corpus, Frame, Mention, ProtoRole, read_conllu

TREES = """\
# sent_id = cats
1 The the DET DT Definite=Def 2 det _ _
2 cats cat NOUN NNS Number=Plur 3 nsubj _ _
3 chase chase VERB VBP Tense=Pres|VerbForm=Fin 0 root _ _
4 a a DET DT Definite=Ind 5 det _ _
5 mouse mouse NOUN NN Number=Sing 3 obj _ _
6 . . PUNCT . _ 3 punct _ _

# sent_id = seen
1 She she PRON PRP Number=Sing|PronType=Prs 3 nsubj:pass _ _
2 was be AUX VBD Number=Sing|Tense=Past|VerbForm=Fin 3 aux:pass _ _
3 seen see VERB VBN Tense=Past|VerbForm=Part|Voice=Pass 0 root _ _
4 by by ADP IN _ 5 case _ _
5 Ann Ann PROPN NNP Number=Sing 3 obl:agent _ _

# sent_id = dog
1 Where where ADV WRB PronType=Int 0 root _ _
2 is be AUX VBZ Tense=Pres|VerbForm=Fin 1 cop _ _
3 the the DET DT Definite=Def 5 det _ _
4 old old ADJ JJ _ 5 amod _ _
5 dog dog NOUN NN Number=Sing 1 nsubj _ _
6 that that PRON WDT PronType=Rel 7 nsubj _ _
7 bit bite VERB VBD Tense=Past|VerbForm=Fin 5 acl:relcl _ _
8 Ann Ann PROPN NNP Number=Sing 7 obj _ _
9 ? ? PUNCT . _ 1 punct _ _
"""


@pytest.fixture
def three(tmp_path) -> Corpus:
    path = tmp_path / "three.conllu"
    path.write_text(
        "\n".join(
            line if line.startswith("#") else line.replace(" ", "\t") for line in TREES.split("\n")
        )
    )
    cats, seen, dog = read_conllu(path).sentences
    return Corpus(
        "three",
        (
            replace(
                cats,
                label="true",
                entities=("O",) * 6,
                frames=(Frame(2, "chase.01", (Argument("ARG0", 0, 2), Argument("ARG1", 3, 5))),),
                proto_roles=(
                    ProtoRole("volition", 2, 1, 1.3),
                    ProtoRole("volition", 2, 4, 0.1),
                    ProtoRole("existed_after", 2, 4, 0.6),
                ),
            ),
            replace(seen, label="false", entities=("O", "O", "O", "O", "B-PER")),
            replace(
                dog,
                entities=("O", "O", "O", "O", "O", "O", "O", "B-PER", "O"),
                mentions=(Mention("dog", 2, 8), Mention("dog", 5, 6), Mention("Ann", 7, 8),
                          Mention("dog", 0, 1)),
            ),
        ),
        "0" * 64,
    )  # fmt: skip


@pytest.fixture(scope="session")
def ewt_dev(shared_file) -> Corpus:
    return read_conllu(shared_file("ud/en_ewt-ud-dev.conllu"))
