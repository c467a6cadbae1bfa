import pytest

from rnn_cli.text.graphemes import clusters, may_join

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
WAVE = "\U0001f44b\U0001f3fd"
FINLAND, ITALY = "\U0001f1eb\U0001f1ee", "\U0001f1ee\U0001f1f9"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    "parts",
    [
        ["a", "b", "\n", " "],
        ["a", "e\u0301", "e\u0301\u0323", "n"],
        ["\n", "\u0301", "a"],  # a mark that has no base
        ["\r\n", "\r", "a", "\n", "\n"],
        [FAMILY, FAMILY, "x"],
        ["a\u200d", "b"],
        [WAVE, "!", "\u2764\ufe0f"],
        [FINLAND, ITALY, FINLAND[0], "a"],
        [SCOTLAND, "a"],
        ["\u0928", "\u092e", "\u0938\u094d", "\u0924\u0947"],  # Devanagari
        ["\u1112\u1161\u11ab", "\u1100\u1173", "\ud55c", "\uac00\u11a8", "\uac01\u11a8", "\uac01", "\u1161"],
        ["\uff76\uff9e", "\uff77"],
    ],
    ids=ascii,
)
def test_clusters_are_what_a_reader_takes_for_characters(parts):
    assert list(clusters("".join(parts))) == parts


def test_only_some_alphabets_have_clusters_of_several():
    assert all(map(may_join, ["a\u0301", "\r\n", FINLAND, FAMILY]))
    assert not may_join("abc\n\u00e9\u4e2d\ud55c\U0001f600")
