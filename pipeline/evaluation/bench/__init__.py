"""Published benchmarks of questions about Vietnamese images. In the order of use:

benches.load("openvivqa", folder)     questions with their images and the answers that people gave
asking.ask(…)                         a model's answers; or `predictions.read`, those of a file
scoring.score(questions, answers)     every measure with its interval and n
judging.judge(…)                      a large model's marks, 0 to 10
comparing.compare(…)                  two files of answers side by side
"""
