# SPDX-License-Identifier: Apache-2.0
"""Files of the user: inputs in the forms that people have, outputs that are whole or not there."""
