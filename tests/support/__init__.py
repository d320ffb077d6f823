"""What several test files share, one module for each subject: no test file imports another."""

import pytest

pytest.register_assert_rewrite("support.pages")  # so that it says what is open, too
