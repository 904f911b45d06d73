import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from served import running  # noqa: E402


@pytest.fixture
def serve():
    """Begins a server with limits of its own."""
    return running


@pytest.fixture(scope="module")
def server():
    """One that is shared by the tests of a file."""
    with running() as found:
        yield found
