"""What a page's picture is worth to a reader, measured from its pixels alone.

    measuring.measure(pixels)   how the page came in, height of print, blur, grain, glare, skew, and verdicts
    verdicts.checks(pages)      the verdicts as failed checks: a person looks

It costs a few milliseconds a page: it looks at a reduced grey copy, and at pieces at full size.
"""
