"""Defaults: what is given stays, what is chosen fits the corpus, and each choice has its reason."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.errors import UsageError
from rnn_cli.language.autoconfig import HIDDEN_SIZES, MINUTES, SIZES, choose, streams_for
from rnn_cli.text.codecs import CharacterCodec, WordCodec
from rnn_cli.text.corpus import Corpus
from rnn_cli.training.config import TrainingConfig

LENGTHS = ("steps", "epochs", "minutes")
LARGE = int(SIZES[-3].characters) + 1  # characters from which time is what counts


def corpus_of(characters, line_mode=False):
    """Return a corpus of so many characters: one line, or a stream."""
    ids = np.ones(characters + 1, np.uint8)
    ids[0] = 0
    if line_mode:
        ids[-1] = 0
    return Corpus("text", "00ff", CharacterCodec("ab", line_mode), ids, None, "", "", 0, 0)


def length_of(training):
    """Return which of the three ways to say a length is used, and its value."""
    (used,) = [(name, getattr(training, name)) for name in LENGTHS if getattr(training, name) is not None]
    return used


@given(st.integers(2, 2_000_000), st.booleans())
def test_every_corpus_gets_a_complete_configuration(characters, lines):
    corpus = corpus_of(characters, lines)
    assert corpus.characters == characters
    choice = choose(corpus, {})
    training = choice.training
    assert choice.model.output_size == len(corpus.codec)
    assert training.sequence_length <= characters
    assert training.batch_size * training.sequence_length <= characters
    name, value = length_of(training)
    row = next(row for row in SIZES if characters <= row.characters)
    if characters < LARGE:
        assert (name, value) == ("epochs", (row.lines if lines else row.stream).epochs)
    else:
        assert (name, value) == ("minutes", MINUTES)


@pytest.mark.parametrize("row, size", list(enumerate(SIZES)))
def test_larger_texts_get_larger_networks(row, size):
    smallest = int(SIZES[row - 1].characters) + 1 if row else 2
    largest = int(size.characters) if size.characters < float("inf") else smallest + 1000
    for characters in (smallest, largest):
        choice = choose(corpus_of(characters), {})
        assert choice.model.hidden_size == size.hidden_size
        if characters < 1_000_000:
            assert choice.training.dropout == size.dropout


def test_more_characters_a_parameter_take_less_dropout():
    fixed = {"epochs": 11, "hidden_size": 512}
    found = [choose(corpus_of(LARGE * factor), fixed).training for factor in (1, 4, 8)]
    assert found[0].dropout > found[1].dropout > found[2].dropout > 0
    assert found[0].recurrent_dropout > found[1].recurrent_dropout > found[2].recurrent_dropout


def test_the_largest_network_is_for_long_runs_on_long_texts():
    speed = {512: 50_000.0, 1024: 15_000.0}
    sizes = [
        choose(corpus_of(5_000_000), {"minutes": minutes}, lambda model, _: speed[model.hidden_size]).model.hidden_size
        for minutes in (3, 10)
    ]
    assert sizes == [512, 1024]


def test_given_values_stay_and_have_no_reason():
    given_values = {
        "cell": "gru",
        "hidden_size": 7,
        "num_layers": 3,
        "dropout": 0.0,
        "sequence_length": 5,
        "batch_size": 6,
        "learning_rate": 0.01,
        "precision": "float32",
        "epochs": 2.5,
        "clip_norm": 0.5,
        "augment": 0.5,
        "patience": 4,
        "evaluate_every": 11,
        "random_seed": 9,
    }
    choice = choose(corpus_of(10_000), given_values)
    chosen = choice.model.to_dict() | choice.training.to_dict()
    assert {name: chosen[name] for name in given_values} == given_values
    assert choice.reasons == ()


@pytest.mark.parametrize("name, value", [("steps", 12), ("epochs", 1.5), ("minutes", 0.5)])
@pytest.mark.parametrize("characters", [100, LARGE])
def test_a_given_length_is_the_only_one(name, value, characters):
    assert length_of(choose(corpus_of(characters), {name: value}).training) == (name, value)


@pytest.mark.parametrize("lines", [False, True])
def test_minutes_only_limit_short_texts(lines):
    assert choose(corpus_of(LARGE, lines), {"minutes": 3}).training.most_epochs is None
    training = choose(corpus_of(60_000, lines), {"minutes": 3}).training
    assert training.most_epochs == choose(corpus_of(60_000, lines), {}).training.epochs


def test_none_means_that_nothing_was_given():
    corpus = corpus_of(5000)
    names = [field.name for field in fields(TrainingConfig) if field.name != "random_seed"]
    assert choose(corpus, dict.fromkeys([*names, "cell", "activation", "hidden_size"])) == choose(corpus, {})


@pytest.mark.parametrize("characters", [9, 5000, LARGE])
def test_each_choice_is_reported_with_its_value(characters):
    choice = choose(corpus_of(characters), {})
    chosen = choice.model.to_dict() | choice.training.to_dict()
    names = ["precision", "epochs" if characters < LARGE else "minutes"]
    names += ["augment"] * (chosen["augment"] > 0) + ["hidden size", "sequence length", "batch size"]
    names += ["recurrent dropout"] * (chosen["recurrent_dropout"] > 0) + ["dropout"]
    names += ["weight decay"] * (chosen["weight_decay"] > 0) + ["learning rate"]
    assert len(choice.reasons) == len(names)
    for name, reason in zip(names, choice.reasons):
        value = chosen[name.replace(" ", "_")]
        assert reason.startswith(name)
        assert reason.removeprefix(name).split()[0] == (value if isinstance(value, str) else f"{value:,}")
        assert len(reason.removeprefix(name).split()) > 2


def test_rate_follows_batch_and_batch_follows_length():
    corpus = corpus_of(10_000)
    short, long = (choose(corpus, {"sequence_length": length}).training for length in (10, 100))
    assert long.batch_size < short.batch_size
    usual, large = (choose(corpus, {"batch_size": size, "sequence_length": 8}).training for size in (64, 256))
    assert large.learning_rate == 2 * usual.learning_rate


def test_many_threads_get_more_streams_unless_a_text_is_short():
    few, many = (choose(corpus_of(2_000_000), {}, threads=threads).training for threads in (4, 16))
    assert (few.batch_size, many.batch_size) == (64, 256)
    assert many.learning_rate == 2 * few.learning_rate
    for characters in (60_000, 400_000):
        assert len({choose(corpus_of(characters), {}, threads=threads) for threads in (1, 16)}) == 1


def test_a_short_run_has_as_many_positions_in_a_batch_as_steps():
    assert [streams_for(wanted) for wanted in (0, 13, 30, 59, 61, float("inf"))] == [8, 16, 32, 56, 64, 64]
    for seconds in (40, 100, 300):
        training = choose(corpus_of(5_000_000), {"minutes": seconds / 60, "hidden_size": 512}, at(60_000)).training
        positions = training.batch_size * training.sequence_length
        assert 0.7 < positions / (60_000 * seconds / positions) < 1.5
        assert training.sequence_length == 1.5 * training.batch_size < 96
    of_epochs = choose(corpus_of(5_000_000), {"epochs": 0.6}).training
    assert (of_epochs.batch_size, of_epochs.sequence_length) == (32, 48)
    for values in ({"steps": 100}, {"epochs": 100}, {}):
        training = choose(corpus_of(5_000_000), values).training
        assert (training.batch_size, training.sequence_length) == (64, 96)


def test_a_short_run_on_lines_or_words_has_fewer_streams():
    characters, words = corpus_of(5_000_000, True), corpus_of(5_000_000, True)
    words.codec = WordCodec(("a", "b"), True)
    for corpus, epochs, streams in (
        (characters, 0.2, 32), (characters, 20, 64), (words, 0.2, 8), (words, 2, 32), (words, 20, 64)
    ):  # fmt: skip
        training = choose(corpus, {"epochs": epochs}).training
        assert (training.batch_size, training.sequence_length) == (streams, 32)
    assert choose(words, {"steps": 100}).training.batch_size == 64


def test_several_networks_share_the_minutes():
    one, four = (
        choose(corpus_of(5_000_000), {"minutes": 2 * networks, "networks": networks}, at(60_000)) for networks in (1, 4)
    )
    assert one.model == four.model
    assert one.training == replace(four.training, networks=1, minutes=2)


def at(characters_per_second):
    """Return the speed of a machine that trains so fast with 512 units, and four times that with half of them."""
    return lambda model, precision: characters_per_second * (512 / model.hidden_size) ** 2


@pytest.mark.parametrize(
    "minutes, hidden_size, dropout", [(3.0, 512, 0.4), (2.0, 512, 0.19), (1.0, 512, 0.0), (0.5, 256, 0.1)]
)
def test_size_and_dropout_follow_time_and_speed(minutes, hidden_size, dropout):
    choice = choose(corpus_of(1_000_000), {"minutes": minutes}, at(60_000))
    assert (choice.model.hidden_size, choice.training.dropout) == (hidden_size, dropout)
    twice = choose(corpus_of(1_000_000), {"minutes": minutes / 2}, at(120_000))
    assert (twice.model.hidden_size, twice.training.dropout) == (hidden_size, dropout)


@pytest.mark.parametrize(
    "epochs, given_values, recurrent_dropout",
    [
        (9, {}, 0.0),
        (10, {}, 0.03),
        (14, {}, 0.15),
        (100, {}, 0.25),
        (100, {"hidden_size": 256}, 0.12),
        (100, {"hidden_size": 1024}, 0.25),
        (100, {"recurrent_dropout": 0.0}, 0.0),
        (100, {"dropout": 0.3}, 0.0),
    ],
)
def test_many_epochs_get_recurrent_dropout(epochs, given_values, recurrent_dropout):
    training = choose(corpus_of(LARGE), {"epochs": epochs, **given_values}).training
    assert training.recurrent_dropout == recurrent_dropout
    assert choose(corpus_of(60_000), {"epochs": epochs}).training.recurrent_dropout == 0


def test_short_texts_are_augmented_unless_fine_tuning():
    for characters, lines, augment in [
        (2000, True, 2.0),
        (9000, True, 1.0),
        (40_000, True, 0.0),
        (40_000, False, 1.0),
        (60_000, False, 0.5),
    ]:
        corpus = corpus_of(characters, lines)
        assert choose(corpus, {}).training.augment == augment
        assert choose(corpus, {}, fine_tuning=True).training.augment == 0
        longer, shorter = (choose(corpus, {"augment": number}).training for number in (3.0, 0.0))
        assert longer.evaluate_every >= shorter.evaluate_every
    assert choose(corpus_of(LARGE), {}).training.augment == choose(corpus_of(100), {}).training.augment == 0


def test_the_slowest_machine_gets_the_smallest_network():
    assert choose(corpus_of(1_000_000), {}, at(1)).model.hidden_size == HIDDEN_SIZES[0]
    assert choose(corpus_of(200), {"minutes": 1}, at(1)).model.hidden_size == SIZES[0].hidden_size


def test_a_short_text_needs_no_more_time_than_for_its_epochs():
    characters = 60_000
    training = choose(corpus_of(characters), {}).training
    read = training.epochs * characters * (1 + training.augment)
    assert choose(corpus_of(characters), {"minutes": 1}, at(read / 60 + 1)).model.hidden_size == 512
    assert choose(corpus_of(characters), {"minutes": 1}, at(read / 60 - 1)).model.hidden_size == 256


def test_the_largest_network_gets_dropout_earlier():
    usual, largest = (
        choose(corpus_of(5_000_000), {"epochs": 3, "hidden_size": hidden_size}).training for hidden_size in (512, 1024)
    )
    assert usual.dropout == 0 < largest.dropout < 0.1
    assert largest.learning_rate == usual.learning_rate == 0.006


def test_a_large_text_gets_weight_decay_and_a_higher_rate():
    few, many = (choose(corpus_of(LARGE), {"epochs": epochs}).training for epochs in (4, 20))
    assert few.weight_decay == many.weight_decay == 0.1
    assert (few.learning_rate, many.learning_rate) == (0.006, 0.008)
    assert choose(corpus_of(LARGE), {"epochs": 20}, fine_tuning=True).training.weight_decay == 0
    assert choose(corpus_of(LARGE), {"epochs": 20, "optimizer": "sgd"}).training.weight_decay == 0
    assert choose(corpus_of(60_000), {}).training.weight_decay == 0


def test_few_epochs_get_no_dropout():
    choices = [choose(corpus_of(LARGE), {"epochs": epochs}).training.dropout for epochs in (0.5, 4, 9, 100)]
    assert choices == [0.0, 0.0, 0.3, 0.4]
    training = choose(corpus_of(LARGE), {}).training
    steps = -(-LARGE // (training.batch_size * training.sequence_length))
    assert choose(corpus_of(LARGE), {"steps": steps // 2}).training.dropout == 0


def test_speed_is_measured_only_if_it_matters():
    def asked(model, precision):
        raise AssertionError

    choose(corpus_of(60_000), {}, asked)
    choose(corpus_of(LARGE), {"epochs": 2}, asked)
    sizes = {"hidden_size": 9, "batch_size": 8, "sequence_length": 8}
    choose(corpus_of(LARGE), {"minutes": 2, **sizes, "dropout": 0.1, "learning_rate": 0.01}, asked)


@pytest.mark.parametrize("wrong", [{"hidden_size": 0}, {"batch_size": 5000}, {"dropout": 1.0}, {"steps": 0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        choose(corpus_of(1000), wrong)


@pytest.mark.parametrize(
    "given, rate",
    [({}, 0.004), ({"cell": "rnn"}, 0.002), ({"optimizer": "sgd"}, 0.5),
     ({"optimizer": "adagrad"}, 0.02), ({"optimizer": "rmsprop"}, 0.004)],
)  # fmt: skip
def test_fine_tuning_takes_a_quarter_of_the_rate(given, rate):
    corpus = corpus_of(5000)
    assert choose(corpus, given).training.learning_rate == rate
    assert choose(corpus, given, fine_tuning=True).training.learning_rate == rate / 4


@pytest.mark.parametrize(
    "characters, length",
    [(300, 400), (301, 8), (3000, 8), (3001, 12), (10_000, 12), (10_001, 8), (50_001, 12), (500_000, 12)],
)
def test_length_of_a_stream_is_the_measured_one(characters, length):
    assert length_of(choose(corpus_of(characters), {}).training) == ("epochs", length)
    assert length_of(choose(corpus_of(500_001), {}).training) == ("minutes", 3)
