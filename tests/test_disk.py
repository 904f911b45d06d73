import os
import threading

from affekt import disk


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "target").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    disk.write(tmp_path / "link", "after")
    with disk.drafted(tmp_path / "link") as file:
        file.write("and again")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "and again"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard = []
    for act in (lambda: disk.write(tmp_path / "pipe", "one"), lambda: drafted(tmp_path / "pipe")):
        reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
        reader.start()
        act()
        reader.join(10)
    assert heard == ["one", "two"]
    assert (tmp_path / "pipe").is_fifo()


def drafted(path):
    with disk.drafted(path) as file:
        file.write("two")
