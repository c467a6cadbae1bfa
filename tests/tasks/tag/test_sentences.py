"""Reading tagged sentences: columns, CoNLL-U, and errors that name file, line and advice."""

import pytest

from rnn_cli.errors import UsageError
from rnn_cli.tasks.tag.sentences import (
    Sentence,
    most_frequent_tags,
    read_tagged,
    split_sentences,
    tag_list,
    token_count,
    tokens_of,
)

DOG = Sentence(("the", "dog", "sleeps"), ("DET", "NOUN", "VERB"))
CAT = Sentence(("cats", "run"), ("NOUN", "VERB"))
CONLLU = """# sent_id = 1
# text = the dog sleeps
1\tthe\tthe\tDET\tDT\t_\t2\tdet\t_\t_
2-3\tdogsleeps\t_\t_\t_\t_\t_\t_\t_\t_
2\tdog\tdog\tNOUN\tNN\t_\t3\tnsubj\t_\t_
3\tsleeps\tsleep\tVERB\tVBZ\t_\t0\troot\t_\t_
3.1\tsoundly\tsoundly\tADV\tRB\t_\t_\t_\t3:advmod\t_

1\tcats\tcat\tNOUN\tNNS\t_\t2\tnsubj\t_\t_
2\trun\trun\tVERB\tVBP\t_\t0\troot\t_\t_
"""


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a text or bytes as a file of this name."""

    def read(data, name="train.tsv", **options):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_tagged([str(path)], **options).sentences

    return read


@pytest.mark.parametrize(
    "text",
    [
        "the\tDET\ndog\tNOUN\nsleeps\tVERB\n\ncats\tNOUN\nrun\tVERB\n",
        "\n\nthe DET\ndog NOUN\nsleeps VERB\n\n\n\ncats NOUN\nrun   VERB",
        "the DT B-NP DET\ndog NN I-NP NOUN\nsleeps VBZ O VERB\n \t\ncats NNS B-NP NOUN\nrun VBP O VERB\n",
        "the\tDET\r\ndog\tNOUN\r\nsleeps\tVERB\r\n\r\ncats\tNOUN\r\nrun\tVERB\r\n",
        "\ufeffthe\tDET\ndog\tNOUN\nsleeps\tVERB\n\ncats\tNOUN\nrun\tVERB\n",
    ],
)
def test_columns_are_read(read, text):
    assert read(text) == [DOG, CAT]


def test_tabs_keep_the_blanks_of_a_token(read):
    assert read("New York\tPROPN\nsleeps\tVERB\n") == [Sentence(("New York", "sleeps"), ("PROPN", "VERB"))]


def test_several_files_are_one_after_the_other(tmp_path):
    for name, text in (("a", "cats NOUN\nrun VERB"), ("b", "the\tDET\ndog\tNOUN\nsleeps\tVERB")):
        (tmp_path / name).write_text(text)
    assert read_tagged([str(tmp_path / "a"), str(tmp_path / "b")]).sentences == [CAT, DOG]


@pytest.mark.parametrize("name", ["train.conllu", "train.txt"])
def test_conllu_is_read_without_ranges_and_comments(read, name):
    assert read(CONLLU, name) == [DOG, CAT]


def test_another_column_of_conllu(read):
    assert read(CONLLU, "a.conllu", column="xpos")[1].tags == ("NNS", "VBP")
    assert read(CONLLU, "a.conllu", column="deprel")[0].tags == ("det", "nsubj", "root")


@pytest.mark.parametrize(
    "text, name, message",
    [
        ("the\tDET\ndog\n", "a.tsv", "a.tsv, line 2: a token without a tag: 'dog'; a line is TOKEN TAB TAG"),
        ("the\tDET\ndog\t\n", "a.tsv", "line 2: a token without a tag"),
        ("the\tDET\n\tNOUN\n", "a.tsv", "line 2: a tag without a token"),
        ("the\tDET\n\ndog\tx\tNOUN\n", "a.tsv", "line 3: this line has 3 columns, and line 1 has 2"),
        ("", "a.tsv", "a.tsv has no sentences"),
        ("\n \n", "a.tsv", "has no sentences"),
        ("# only a comment\n", "a.conllu", "has no sentences"),
        ("1\tthe\tthe\tDET\n", "a.conllu", "line 1: CoNLL-U has 10 columns separated by TABs, and this line 4"),
        ("x\tthe\tthe\tDET\t_\t_\t_\t_\t_\t_\n", "a.conllu", "line 1: 'x' is not the number of a token"),
        ("1\tthe\tthe\t_\t_\t_\t_\t_\t_\t_\n", "a.conllu", "line 1: there is no UPOS"),
        (b"the\tDET\ndog\tN\xff\n", "a.tsv", r"not valid UTF-8 at byte 14 \(line 2\)"),
    ],
)
def test_an_error_names_the_line(read, text, name, message):
    with pytest.raises(UsageError, match=message):
        read(text, name)


def test_the_column_that_was_read_is_known(tmp_path):
    (tmp_path / "a.conllu").write_text(CONLLU)
    (tmp_path / "b.tsv").write_text("cats\tNOUN\n")
    both = read_tagged([str(tmp_path / "a.conllu"), str(tmp_path / "b.tsv")])
    assert (both.name, both.column, len(both.sentences)) == ("a.conllu, b.tsv", "upos", 3)
    assert read_tagged([str(tmp_path / "b.tsv")], column="xpos").column is None
    with pytest.raises(UsageError, match="`column` must be one of lemma, upos"):
        read_tagged([str(tmp_path / "a.conllu")], column="head")


def test_equal_sentences_are_in_one_part():
    sentences = [Sentence((f"w{number % 50}", "x"), ("A", "B")) for number in range(100)]
    training, validation, reason = split_sentences(sentences, None, 3)
    assert (len(training), len(validation), reason) == (90, 10, "10 of 100 sentences, at random")
    assert not {s.tokens for s in training} & {s.tokens for s in validation}
    assert split_sentences(sentences, None, 3) == (training, validation, reason)
    assert split_sentences(sentences, None, 4)[1] != validation


@pytest.mark.parametrize("count, fraction", [(19, None), (100, 0.0), (40, 0.001)])
def test_nothing_may_be_held_out(count, fraction):
    sentences = [Sentence((f"w{number}",), ("A",)) for number in range(count)]
    training, validation, reason = split_sentences(sentences, fraction, 1)
    assert (training, validation) == (sentences, [])
    assert reason.startswith("nothing, as")


def test_tags_are_listed_by_frequency():
    assert tag_list([DOG, CAT], "a") == ["NOUN", "VERB", "DET"]
    with pytest.raises(UsageError, match="a has one tag only, 'X'"):
        tag_list([Sentence(("b", "c"), ("X", "X"))], "a")


def test_the_baseline_is_the_most_frequent_tag():
    run = Sentence(("run", "run", "run"), ("NOUN", "NOUN", "VERB"))
    assert most_frequent_tags([CAT]) == {"cats": "NOUN", "run": "VERB"}
    assert most_frequent_tags([CAT, run]) == {"run": "NOUN", "cats": "NOUN"}
    assert list(most_frequent_tags([CAT, run])) == ["run", "cats"]
    assert token_count([CAT, run]) == 5


def test_only_blanks_and_tabs_separate_tokens():
    assert tokens_of("  10\u00a0000  cats\trun ") == ["10\u00a0000", "cats", "run"]
    assert tokens_of(" ") == []
