'use strict';
// What the vendor's package has around calls and this one has not, or has otherwise, and why.

module.exports = {
  ZIMAppConfig: 'which server and which file must be said; appID is taken and not used',
  ZIMErrorCode:
    'codes of rooms, groups, messages, friends and the vendor\'s own servers are not there; codes for what is offline '
    + 'are added; 6000286, there about editing messages, is here the refusal of what needs an advanced call',
  ZIMError: 'its code is one of the codes here; otherwise it is the same, and an app can make one itself',
  ZIMCallInvitationSentResult:
    'fits where an app gets it; one that an app makes itself needs errorInvitees, which the document\'s samples read',
  ZIMEventOfCallInvitationReceivedResult:
    'fits where an app gets it; one that an app makes itself needs deadline and remaining, which are always told here',
  ZIMCallInfo: 'fits where an app gets it; one that an app makes itself needs missed and pending, always told here',
  ZIMCallInvitationListQueriedResult: 'as ZIMCallInfo, of which it has a list',
  ZIMLogoutConfig: 'logout clears no database: that is the app\'s file, and its to remove',
  ZIMCallInvitationSentInfo: 'a shape of the vendor\'s other platforms that no method or event of the package uses',
  ZIMCallingInvitationSentInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallJoinSentInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallQuitSentInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallEndedSentInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallInvitationReceivedInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallInvitationCreatedInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallInvitationCancelledInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallInvitationAcceptedInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallInvitationRejectedInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallInvitationEndedInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallInvitationTimeoutInfo: 'as ZIMCallInvitationSentInfo',
  ZIMCallUserStateChangeInfo: 'as ZIMCallInvitationSentInfo',
  ZIMEventOfCallInvitationAcceptedResult: 'of an event that the vendor took out of use; callUserStateChanged tells it',
  ZIMEventOfCallInvitationRejectedResult: 'as ZIMEventOfCallInvitationAcceptedResult',
  ZIMEventOfCallInviteesAnsweredTimeoutResult: 'as ZIMEventOfCallInvitationAcceptedResult',
  callInvitationAccepted: 'the vendor took this event out of use; callUserStateChanged tells it',
  callInvitationRejected: 'as callInvitationAccepted',
  callInviteesAnsweredTimeout: 'as callInvitationAccepted',
  callExperimentalAPI: 'there are no experiments',
};
