import sys

try:
    from concerto.cli import main

    main()
except KeyboardInterrupt:  # while the libraries were being imported
    print("concerto: interrupted", file=sys.stderr)
    sys.exit(130)
