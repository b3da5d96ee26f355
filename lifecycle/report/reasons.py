"""Why a mail or an entry was withheld, in words."""

from __future__ import annotations

WHY = {
    "matched_before_launch": "matched before the trigger was launched",
    "moved_by_score_version": "a new score version moved them, and not their own use",
    "held_out": "held out without mails, to compare with",
    "no_recipient": "no contact is among the trigger's recipients",
    "no_consent": "the contact gave no consent",
    "unsubscribed": "the contact unsubscribed",
    "suppressed": "the address may not be mailed any more",
    "contact_gone": "the contact is no longer in the CRM",
    "capped": "enough mails to this person or account already",
    "step_condition": "the step's own condition does not hold",
    "late": "too late to be useful",
    "no_window": "its send window never opens",
    "no_civil_hour": "nobody can tell an hour inside the window where the account is",
    "template_error": "the mail could not be written",
    "waiting_for_feed": "the usage feed is late: nobody is judged by missing data",
    "account_set_aside": "the account's row in the CRM is not usable",
    "version_unreadable": "the version of the trigger that it entered cannot be read any more",
    "trigger_unusable": "the trigger's file or its mails cannot be used as they stand",
    "paused": "somebody paused the trigger",
    "turned_off": "somebody turned the trigger off: nobody enters any more",
    "on_hold": "somebody put the account on hold",
    "contact_set_aside": "the contact's row in the CRM is not usable",
    "same_step_under_way": "the person's mail of this step, through another account, has not left",
    "same_step_recently": "the person has this step's mail already, as another contact or account",
    "would_leave": "it meets exit_when already, so it does not enter",
    "absent": "the account is missing in the CRM: its sequence waits for it",
    "left_provisionally": "it left by the word of a delivery that has not passed the gates",
}
"""What each reason for withholding means, in words."""
