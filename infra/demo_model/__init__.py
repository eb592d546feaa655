"""The demo model: a small Vintern trained on specimens, and the checkpoint that came of it.

    python -m infra.demo_model.train --run NAME     trains, or goes on where the run of that name stopped
    python -m infra.demo_model.export --run NAME    writes the run's weights as a published checkpoint
    python -m infra.demo_model.evaluate             reads fresh specimens with it, field by field

Run from the root of the checkout.
"""
