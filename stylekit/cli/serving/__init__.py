"""``stylekit serve``: a page for the browser, and the HTTP interface behind it."""
