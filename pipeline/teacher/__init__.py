"""Data for training, made with a teacher: pages are shown to a larger model, and what it says becomes rows.

    prompts.py    what a teacher is asked, and what the student will be asked for the same answer
    protocols.py  how two kinds of server are asked: OpenAI's, which many speak, and Gemini's own
    asking.py     one request: its pace, its tries, what it costs, and whose answer it is
    pages.py      documents → pictures that a teacher is shown, with what their own text says
    answers.py    a teacher's text → turns of a conversation
    filters.py    what is wrong with a turn
    held_out.py   sets that nothing may be learnt from, because models are measured by them
    making.py     the way through all of them

What was asked and answered is kept by `pipeline.store.teaching`. No torch.
"""
