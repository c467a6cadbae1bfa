"""What each key does to a text and its suggestion, without a terminal."""

import pytest
from random_models import SYMBOLS, make_checkpoint

from rnn_cli.language.config import SamplingConfig
from rnn_cli.text.codecs import CharacterCodec
from rnn_cli.writing.files import TextFile
from rnn_cli.writing.keys import KEYS, MOVES
from rnn_cli.writing.session import Session
from rnn_cli.writing.suggestions import Suggester

CONFIG = SamplingConfig(length=12, random_seed=4)
LINES = make_checkpoint(True, boundary_bias=1.0)
STREAM = make_checkpoint(None, codec=CharacterCodec(SYMBOLS + " \n", False))


class Writer:
    """A session whose requests are answered at once."""

    def __init__(self, path, checkpoint=STREAM, text="", config=CONFIG):
        path.write_text(text)
        self.session, self.suggester = Session(TextFile(str(path)), config), Suggester(checkpoint, config)
        self.answer()

    def answer(self):
        while request := self.session.next_request():
            self.session.receive(self.suggester.answer(request))

    def press(self, *keys):
        for each in keys:
            if each.startswith(" "):
                self.session.type(each[1:])
            else:
                self.session.act(each)
            self.answer()
        return self

    @property
    def text(self):
        return self.session.draft.text

    @property
    def ghost(self):
        return self.session.ghost.text if self.session.ghost else None


@pytest.fixture
def path(tmp_path):
    return tmp_path / "page.txt"


def test_a_suggestion_is_taken_whole_or_in_part(path):
    writer = Writer(path).press(" ab")
    ghost = writer.ghost
    assert ghost
    assert writer.press("take").text == f"ab{ghost}"
    assert writer.press("undo").text == "ab"
    assert writer.ghost == ghost
    word = writer.press("take_word").text.removeprefix("ab")
    assert ghost.startswith(word)
    assert len(word.split()) == 1
    line = writer.press("undo", "take_line").text.removeprefix("ab")
    assert line.startswith(ghost.split("\n")[0])
    assert line.endswith("\n")


def test_typing_along_keeps_the_rest_at_once(path):
    writer = Writer(path).press(" ab")
    ghost = writer.ghost
    writer.session.type(ghost[0])  # and the model has not answered yet
    assert writer.ghost == ghost[1:]
    writer.session.type("Z")
    assert writer.ghost is None


def test_tab_ends_the_line_where_the_model_does(path):
    writer = Writer(path, LINES)
    ends = 0
    for _ in range(60):
        ghost = writer.session.ghost
        before = writer.text
        writer.press("take")
        assert writer.text == before + (ghost.text or "\n")
        ends += ghost.ended and not ghost.text
    assert ends > 5


def test_answers_to_an_older_text_are_left_out(path):
    writer = Writer(path)
    writer.session.type("a")
    answer = writer.suggester.answer(writer.session.next_request())
    writer.session.type("b")
    writer.session.receive(answer)
    assert writer.session.suggestion is None
    writer.answer()
    assert writer.ghost
    writer.session.act("settings")
    writer.session.act("up")
    old = writer.session.next_request()
    writer.session.act("up")
    shown = writer.session.suggestion
    writer.session.receive(writer.suggester.answer(old))
    assert writer.session.suggestion is shown


def test_suggestions_within_a_line_wait_to_be_asked(path):
    writer = Writer(path, text="abc def").press("left", "left")
    assert (writer.ghost, writer.text) == (None, "abc def")
    writer.press("take")
    assert writer.ghost
    assert writer.text == "abc def"
    ghost = writer.ghost
    assert writer.press("take").text == f"abc d{ghost}ef"
    assert writer.press("line_end").ghost


def test_esc_hides_and_typing_shows_again(path):
    writer = Writer(path).press(" a", "hide")
    assert writer.ghost is None
    assert writer.press(" b").ghost
    assert writer.press("hide", "next").ghost


def test_alternatives_go_forth_and_back(path):
    writer = Writer(path).press(" ab")
    first = writer.ghost
    second = writer.press("next").ghost
    assert first != second
    assert writer.press("previous").ghost == first
    writer.press("previous")
    assert (writer.ghost, writer.session.message) == (first, "there is no other suggestion")
    assert writer.press("next", " " + second[0]).ghost.startswith(second[1:])


def test_longer_suggestions_extend_the_same(path):
    writer = Writer(path, config=SamplingConfig(length=12, random_seed=4, forbid=" \n")).press(" ab")
    ghosts = [writer.ghost]
    for _ in range(6):
        ghosts.append(writer.press("longer").ghost)
    assert [len(ghost) for ghost in ghosts] == [12, 24, 48, 96, 192, 384, 12]
    assert all(longer.startswith(ghosts[0]) for longer in ghosts)


def test_arrows_change_the_settings(path):
    writer = Writer(path, config=SamplingConfig(length=12, temperature=0.7, random_seed=4)).press(" ab", "settings")
    assert writer.session.adjusting
    writer.press("up", "up", "left")
    assert (writer.session.config.temperature, writer.session.config.top_p) == (0.9, 0.95)
    writer.press(*["down"] * 30, *["right"] * 30)
    assert (writer.session.config.temperature, writer.session.config.top_p) == (0.0, 1.0)
    greedy = writer.ghost
    writer.press("next")
    assert (writer.ghost, writer.session.message) == (greedy, "there is no other suggestion at temperature 0")
    assert not writer.press("settings", "hide", "left").session.adjusting
    assert writer.session.draft.cursor == 1
    assert writer.press("settings", " x").text == "axb"


def test_other_branches_are_reached(path):
    writer = Writer(path).press(" ab", "take")
    first = writer.text
    writer.press("undo", "next", "take")
    second = writer.text
    assert first != second
    assert writer.press("other").text == first
    assert writer.press("other").text == second
    assert writer.press("undo").text == "ab"
    assert writer.press("undo").press("undo").session.message == "there is nothing to undo"
    assert writer.press("redo", "redo").text == second
    assert writer.press("redo").session.message == "there is nothing to redo"
    assert Writer(path).press("other").session.message.startswith("there is one branch")


def test_deleting_keys_delete(path):
    writer = Writer(path, text="ab cd\nef gh")
    for key, text in (
        ("backspace", "ab cd\nef g"),
        ("delete_word", "ab cd\nef "),
        ("delete_before", "ab cd\n"),
        ("backspace", "ab cd"),
    ):
        assert writer.press(key).text == text
    assert writer.press("text_start", "delete").text == "b cd"
    assert writer.press("delete_after").text == ""
    assert writer.press("backspace", "delete", "delete_word", "undo").text == "b cd"


def test_what_is_typed_is_made_text(path):
    writer = Writer(path).press(" a\r\nb\rc", " \udcff\udcc3\udca9", "enter", " d")
    assert writer.text == "a\nb\nc\ufffd\u00e9\nd"


def test_every_key_has_an_action(path):
    names = [key.action for key in (*KEYS, *MOVES)]
    assert len(set(names)) == len(names)
    codes = [code for key in (*KEYS, *MOVES) for code in key.codes]
    assert len(set(codes)) == len(codes)
    for name in set(names) - {"redraw", "up", "down", "page_up", "page_down"}:  # of the screen
        Writer(path, text="ab").press(name)
    with pytest.raises(KeyError):
        Writer(path).press("nothing")


def test_questions_come_before_all_other_keys(path):
    writer = Writer(path).press(" ab", "quit")
    assert writer.press("take", "left", " x").text == "ab"
    assert writer.session.storage.question
    writer.press("hide", " c", "quit", " s")
    assert (path.read_text(), writer.session.storage.finished) == ("abc", True)
