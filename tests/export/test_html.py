"""The page in headless Chromium: it computes what the equations do, fetches nothing, and runs nobody's code."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from portable_models import CASES, CODECS, NAMES, case_ids, plain_logits, random_checkpoint

from rnn_cli.cells import CELLS
from rnn_cli.export.html import in_page, int8_loss
from rnn_cli.export.targets import Request, export_files
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts

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


def test_a_stranger_cannot_run_code(browser, tmp_path):
    for task in ("labelled", "classify"):
        opened(browser, tmp_path, random_checkpoint(task), "<img src=x onerror=alert(1)> &lt;b&gt;")
        browser.execute_script("document.getElementById('text').value = '<img src=x onerror=alert(1)>'")
        browser.execute_script("document.getElementById('text').oninput()")
        assert browser.find_element("id", "title").text == "<img src=x onerror=alert(1)> &lt;b&gt;"
        assert browser.execute_script("return document.images.length + document.scripts.length") == 2
        assert "onerror" in browser.execute_script("return document.body.innerText")
        assert browser.get_log("browser") == []


def test_a_link_repeats_what_was_written(browser, tmp_path):
    opened(browser, tmp_path, random_checkpoint("language"))
    browser.execute_script("document.getElementById('seed').value = 7; document.getElementById('text').value = 'ab'")
    written = []
    for _ in range(2):
        browser.find_element("id", "write").click()
        wait = waiting(browser, 20)
        wait.until(lambda driver: not driver.find_element("id", "stop").is_enabled())
        written.append(browser.find_element("id", "output").text)
        browser.find_element("id", "share").click()
        browser.get(browser.current_url)
        browser.refresh()
    assert written[0] == written[1]
    assert written[0].startswith("ab")


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
