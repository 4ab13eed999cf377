"""The story page: models tell stories in a browser, people say which is better, and that becomes preference data.

``story`` reads what is asked and words what is told, ``votes`` keeps the votes and makes pairs of them, ``app`` puts the
page on the server of ``litgpt_zh.serve``, ``command`` starts it. ``static/`` is what the browser gets.
"""
