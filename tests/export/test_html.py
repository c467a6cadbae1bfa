"""The page in headless Chromium: it computes what the equations do, fetches nothing, and runs nobody's code."""

import io
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from portable_models import (
    BIO,
    CASES,
    CHARACTERS,
    CODECS,
    NAMES,
    SOURCES,
    SYMBOLS,
    case_ids,
    plain_answers,
    plain_logits,
    random_checkpoint,
)

from rnn_cli.cells import CELLS
from rnn_cli.errors import UsageError
from rnn_cli.export.rounding import in_page, int8_loss
from rnn_cli.export.targets import Request, export_files
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.tasks.tag.bio import allowed_after, best_valid
from rnn_cli.tasks.tag.tagger import Tagger
from rnn_cli.tasks.translate.translator import Translator
from rnn_cli.text.codecs import WordCodec

webdriver = pytest.importorskip("selenium.webdriver")
pytestmark = pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="no Chromium")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"


@pytest.fixture(scope="module")
def browser():
    """A browser that records what pages log and request."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def rounded(checkpoint, int8=False):
    """Return the checkpoint with the weights that a page holds."""
    parameters = {name: in_page(tensor, int8) for name, tensor in checkpoint.parameters.items()}
    return replace(checkpoint, parameters=parameters)


def waiting(browser, seconds):
    """Return what waits for a condition; the module is there only if Selenium is."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds)


def opened(browser, folder, checkpoint, name="page"):
    """Open the page of a model, and assert that it logs and requests nothing."""
    files, _ = export_files("html", Request(checkpoint, folder / f"{name}.html"))
    for path, data in files.items():
        path.write_bytes(data)
    browser.get_log("performance")
    browser.get("about:blank")
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    requests = [entry["message"] for entry in browser.get_log("performance") if "requestWillBeSent" in entry["message"]]
    assert not [request for request in requests if "http://" in request or "https://" in request]
    return browser


PAIRS = [(CELLS[index % len(CELLS)], *case) for index, case in enumerate(CASES)]
PAIRS += [(cell, "language", {}) for cell in CELLS]
IDS = [*NAMES, *(f"{cell.name}-{cell.activation}" for cell in CELLS)]


@pytest.mark.parametrize("pair", PAIRS, ids=IDS)
def test_logits_of_the_page_are_those_of_the_equations(browser, tmp_path, pair):
    cell, task, values = pair
    checkpoint = rounded(random_checkpoint(task, cell, **values))
    opened(browser, tmp_path, checkpoint)
    ids = case_ids(checkpoint)
    expected = plain_logits(checkpoint, ids, 1 if task == "labelled" else None)
    for wasm in (True, False):
        assert browser.execute_script("return rnn.use(arguments[0])", wasm) == wasm
        found = np.array(browser.execute_script("return rnn.logits(arguments[0], 1)", ids))
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kind", CODECS)
def test_the_page_writes_the_greedy_text(browser, tmp_path, kind):
    checkpoint = rounded(random_checkpoint("language", codec=CODECS[kind], seed=8))
    opened(browser, tmp_path, checkpoint)
    for prompt in ("", "the cat" if kind == "words" else "ab"):
        config = SamplingConfig(temperature=0, length=40)
        (expected,) = sample_texts(checkpoint, prompt.encode() if kind == "bytes" else prompt, config=config)
        written = browser.execute_script("return rnn.greedy(arguments[0], 40)", prompt)
        assert written.rstrip("\ufffd").strip() == expected.decode().strip()


def test_names_of_marks_are_ordinary_words(browser, tmp_path):
    words = WordCodec(("SCRIPT", "MODEL", "STYLE", "POLICY"), True)
    checkpoint = rounded(random_checkpoint("language", codec=words, seed=8))
    opened(browser, tmp_path, checkpoint, "SCRIPT MODEL STYLE POLICY")
    assert browser.find_element("id", "title").text == "SCRIPT MODEL STYLE POLICY"
    (expected,) = sample_texts(checkpoint, config=SamplingConfig(temperature=0, length=40))
    assert browser.execute_script("return rnn.greedy('', 40)") == expected.decode()


@pytest.mark.parametrize("directions", [1, 2])
def test_the_page_translates(browser, tmp_path, cell, directions):
    checkpoint = rounded(random_checkpoint("translate", cell, CHARACTERS, directions=directions, seed=9))
    opened(browser, tmp_path, checkpoint)
    translator = Translator.of_checkpoint(checkpoint, 1)
    expected = [translator.symbols.decode(each[0].symbols) for each in translator.translate(SOURCES)]
    assert [browser.execute_script("return rnn.translate(arguments[0])", source) for source in SOURCES] == expected
    assert len(set(expected)) > 2
    logits = plain_answers(checkpoint, [3, 1, 4, 0], [2, 1])
    found = np.array(browser.execute_script("return rnn.answers([3, 1, 4, 0], [2, 1])"))
    assert np.abs(found - logits).max() < 1e-5 * np.abs(logits).max()
    typed(browser, "abc")
    assert browser.find_element("id", "output").text == expected[0]
    assert len(browser.find_elements("css selector", "#answers li")) == len(expected[0].split())


def test_tags_of_the_page_are_valid(browser, tmp_path):
    checkpoint = rounded(random_checkpoint("tag", codec=CHARACTERS, tags=BIO, directions=2, seed=4))
    opened(browser, tmp_path, checkpoint)
    words = ["abc", "😀", "zé<", "a", "b", "c", "d", "e", "f", "g", "fedcba", "ag"]
    (expected,) = Tagger.of_checkpoint(checkpoint, 1).tag([words])
    typed(browser, "  ".join(words))
    tokens = browser.find_elements("css selector", ".token")
    assert [token.text.split("\n") for token in tokens] == [list(pair) for pair in zip(words, expected)]
    logits = np.log(np.random.default_rng(1).dirichlet(np.ones(5) / 2, 40))
    best = browser.execute_script("return rnn.bestTags(arguments[0])", logits.tolist())
    assert best == best_valid(logits, allowed_after(BIO)).tolist() != logits.argmax(axis=1).tolist()


def test_a_stranger_cannot_run_code(browser, tmp_path):
    hostile = "<img src=x onerror=alert(1)>"
    tags = {"codec": CHARACTERS, "tags": ("B-<b onclick=alert(1)>", "O")}
    for task, values in (
        ("labelled", {}),
        ("classify", {}),
        ("translate", {"codec": CHARACTERS}),
        ("tag", tags),
    ):
        opened(browser, tmp_path, random_checkpoint(task, **values), f"{hostile} &lt;b&gt;")
        typed(browser, f"ab {hostile}")
        for button in browser.find_elements("css selector", "#write, #share"):
            if button.is_displayed():
                button.click()
        finished(browser)
        assert browser.find_element("id", "title").text == f"{hostile} &lt;b&gt;"
        assert browser.execute_script("return document.images.length + document.scripts.length") == 2
        assert browser.execute_script("return document.querySelectorAll('main [onclick]').length") == 0
        browser.get(
            browser.current_url.split("#")[0] + "#text=" + hostile + "&seed=1&mode=" + hostile + "&label=" + hostile
        )
        finished(browser)
        assert browser.execute_script("return document.images.length + document.scripts.length") == 2
        browser.execute_script(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'rnn = 1'}))"
        )
        assert browser.execute_script("return typeof rnn") == "object"  # the policy lets no other script run
        assert "violates the following Content Security Policy" in browser.get_log("browser")[0]["message"]


def typed(browser, text):
    """Put a text into the field, as typing does; ChromeDriver cannot type all characters."""
    script = (
        "const box = document.getElementById('text'); box.value = arguments[0]; box.dispatchEvent(new Event('input'))"
    )
    browser.execute_script(script, text)


def finished(browser):
    """Wait until nothing is being written."""
    waiting(browser, 20).until(lambda driver: driver.execute_script("return document.getElementById('stop').disabled"))


def lines_of(browser):
    return [item.text for item in browser.find_elements("css selector", "#output li")]


def test_a_model_of_lines_writes_and_completes(browser, tmp_path):
    opened(browser, tmp_path, random_checkpoint("language"))
    assert browser.find_element("id", "beginning").is_displayed() is False
    finished(browser)
    first = lines_of(browser)
    assert (len(first), len(set(first)) > 5) == (10, True)
    browser.find_element("id", "write").click()
    finished(browser)
    assert lines_of(browser) != first  # other texts, with the next seed
    assert browser.execute_script("return document.getElementById('seed').value") == "2"
    browser.find_element("css selector", "#modes input").send_keys("\ue014")  # the arrow to the right
    browser.find_element("id", "text").send_keys("ab\n")
    finished(browser)
    assert len(lines_of(browser)) == 10
    assert all(line.startswith("ab") for line in lines_of(browser))
    button = browser.find_element("css selector", "#answers button")
    button.send_keys("\n")  # the most probable symbol joins the beginning
    assert browser.find_element("id", "text").get_attribute("value") in ("ab" + letter for letter in SYMBOLS)


def test_a_stream_goes_on_and_stops(browser, tmp_path):
    opened(browser, tmp_path, random_checkpoint("language", codec=CODECS["stream"]))
    box = browser.find_element("id", "text")
    box.send_keys("ab", "\ue009", "\n")  # Ctrl+Enter
    finished(browser)
    (first,) = browser.execute_script("return parts.map(([start, list]) => [start, list.length])")
    assert first == ["ab", 400]
    before = browser.execute_script("return shownText()")
    browser.find_element("id", "more").click()
    finished(browser)
    after = browser.execute_script("return shownText()")
    assert after.startswith(before)
    assert browser.execute_script("return parts[0][1].length") == 800
    browser.execute_script("document.getElementById('length').value = 100000")
    browser.find_element("id", "write").click()
    browser.find_element("id", "stop").click()
    assert browser.find_element("id", "said").text == "Stopped."
    assert 0 <= browser.execute_script("return parts[0][1].length") < 100000


@pytest.mark.parametrize(
    "codec", [CODECS["lines"], CODECS["stream"], CODECS["words"]], ids=["lines", "stream", "words"]
)
def test_a_link_repeats_what_is_shown(browser, tmp_path, codec):
    opened(browser, tmp_path, random_checkpoint("labelled", codec=codec))
    browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    browser.execute_script(
        "chooseMode('complete'); $('label').selectedIndex = 2; $('seed').value = 7; $('length').value = 30"
    )
    typed(browser, "the cat" if codec.kind == "words" else "ab &é")
    browser.find_element("id", "write").click()
    finished(browser)
    written = browser.execute_script("return shownText()")
    browser.find_element("id", "share").click()
    waiting(browser, 5).until(lambda driver: driver.find_element("id", "said").text == "Link copied.")
    link = browser.current_url
    assert "seed=7" in link
    assert browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == link
    browser.find_element("id", "copy").click()
    waiting(browser, 5).until(lambda driver: driver.find_element("id", "said").text == "Copied.")
    assert browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == written
    browser.get("about:blank")
    browser.get(link)
    finished(browser)
    assert browser.execute_script("return shownText()") == written


def test_what_is_shown_can_be_downloaded(browser, tmp_path):
    opened(browser, tmp_path, random_checkpoint("language"))
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find_element("id", "write").click()
    finished(browser)
    browser.find_element("id", "download").click()
    expected, path = browser.execute_script("return shownText() + '\\n'"), tmp_path / "text.txt"
    waiting(browser, 20).until(lambda driver: path.exists() and path.read_text("utf-8") == expected)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(browser, tmp_path, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        opened(browser, tmp_path, random_checkpoint("labelled"))
        browser.find_element("css selector", "#settings summary").click()
        browser.find_element("id", "write").click()
        finished(browser)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_8_bits_compute_and_name_their_loss(browser, tmp_path):
    checkpoint = random_checkpoint("language")
    files, (remark,) = export_files("html", Request(checkpoint, tmp_path / "small.html", int8=True))
    assert remark == int8_loss(checkpoint)
    assert "bits per character" in remark
    for path, data in files.items():
        path.write_bytes(data)
    browser.get((tmp_path / "small.html").as_uri())
    ids = case_ids(checkpoint)
    expected = plain_logits(rounded(checkpoint, int8=True), ids)
    found = np.array(browser.execute_script("return rnn.logits(arguments[0])", ids))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


ANSWERED = {
    "classify": ("plain\tabc\nplain\tfee\n", "of the labels are right"),
    "tag": ("abc\tO\ng\tB-x\n\na\tI-x\n", "F1 of spans"),
    "translate": ("abc\ta é\n", "of the targets are right"),
    "labelled": ("plain\tabc\n", "bits per character"),
    "language": ("abc\nfee\n", "bits per character"),
}


@pytest.mark.parametrize("task", ANSWERED)
def test_8_bits_are_measured_on_a_file(tmp_path, monkeypatch, task):
    text, words = ANSWERED[task]
    (tmp_path / "file").write_text(text, "utf-8")
    codec = CODECS["lines"] if task in ("language", "labelled") else CHARACTERS
    checkpoint = random_checkpoint(task, codec=codec, **({"tags": BIO} if task == "tag" else {}))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert int8_loss(checkpoint, ["-"]).endswith(", on -")
    sentence = int8_loss(checkpoint, [str(tmp_path / "file")])
    assert sentence.startswith("8 bits: ")
    assert words in sentence
    if task in ("classify", "tag", "translate"):
        with pytest.raises(UsageError, match="`measure_on` a file"):
            int8_loss(checkpoint)
    numbers = re.findall(r"\d+\.\d{4}", sentence)
    assert len(set(numbers)) == len(numbers)  # bits differ
