"""Generated sentences with tags, for the tests of tagging."""

import random

from rnn_cli.tasks.tag.sentences import Sentence

ENDINGS = {"NOUN": "a", "VERB": "e", "ADJ": "i"}


def word(generator, tag):
    """Return an invented word, whose ending says its tag."""
    return "".join(generator.choice(["ba", "ko", "lu", "mi", "ste"]) for _ in range(3)) + ENDINGS[tag]


def sentences(count, seed=1):
    """Return sentences in which the ending says the tag, except for "lo", which the next word decides."""
    generator, found = random.Random(seed), []
    for _ in range(count):
        noun, verb = word(generator, "NOUN"), word(generator, "VERB")
        if generator.random() < 0.5:
            found.append(Sentence(("lo", noun, verb, "."), ("DET", "NOUN", "VERB", "PUNCT")))
        else:
            adjective = word(generator, "ADJ")
            found.append(Sentence(("lo", verb, adjective, noun, "."), ("PRON", "VERB", "ADJ", "NOUN", "PUNCT")))
    return found


def journeys(count, seed=1):
    """Return sentences with spans of two kinds: names of one or two words after "from" and "to"."""
    generator, found = random.Random(seed), []
    for _ in range(count):
        tokens, tags = ["go"], ["O"]
        for preposition, kind in (("from", "start"), ("to", "end")):
            name = [word(generator, "NOUN") for _ in range(generator.randint(1, 2))]
            tokens += [preposition, *name]
            tags += ["O", f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
        found.append(Sentence(tuple(tokens), tuple(tags)))
    return found


def columns(sentences):
    """Return sentences as the lines of a file."""
    return "\n".join("".join(f"{token}\t{tag}\n" for token, tag in zip(*sentence)) for sentence in sentences)
