"""How many characters a second a page of rnn export --to html reads in Chromium, with WebAssembly and without.

    python benchmarks/page_speed.py [--layers 2] [--hidden-size 256]

Needs selenium, chromium and chromedriver. The network is random: its speed does not depend on the weights.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from common import options, report, table

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.export.targets import Request, export_files
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import CharacterCodec

SYMBOLS = "".join(map(chr, range(32, 96)))
CHARACTERS, REPEATS = 2000, 5


def main() -> None:
    """Print a table."""
    parser = options(__doc__, timed=False)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden-size", type=int, default=256)
    arguments = parser.parse_args()
    from selenium import webdriver  # after the options, so that --help works without it

    codec = CharacterCodec(SYMBOLS, True)
    config = NetworkConfig.for_symbols(
        len(codec), hidden_size=arguments.hidden_size, num_layers=arguments.layers, cell="lstm"
    )
    model = Model.initialised(config, np.random.default_rng(1))
    checkpoint = Checkpoint.of_language(config, codec, model.to_torch())
    chrome = webdriver.ChromeOptions()
    chrome.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu"):
        chrome.add_argument(flag)
    with tempfile.TemporaryDirectory() as folder:
        files, _ = export_files("html", Request(checkpoint, Path(folder) / "page.html"))
        for path, data in files.items():
            path.write_bytes(data)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        with webdriver.Chrome(options=chrome, service=service) as browser:
            browser.get(path.as_uri())
            speeds: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(1 if arguments.quick else REPEATS):
                for wasm, measured in speeds.items():
                    browser.execute_script("rnn.use(arguments[0]); rnn.speed(200)", wasm)
                    measured.append(browser.execute_script("return rnn.speed(arguments[0])", CHARACTERS))
    named = ((True, "WebAssembly"), (False, "plain JavaScript"))
    rows = [[name, f"{statistics.median(speeds[wasm]):,.0f}"] for wasm, name in named]
    title = f"LSTM {arguments.layers} x {arguments.hidden_size}"
    report("page-speed", [f"The page has {len(data):,} bytes.", table([title, "characters/s"], rows)], arguments.save)


if __name__ == "__main__":
    main()
