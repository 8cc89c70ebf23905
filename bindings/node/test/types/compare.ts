// What the vendor's package calls by the same name, compared type by type: what an app gives must be taken here as
// it is there, what an app gets must fit where it fitted.

import type * as Ours from 'offhook';
import type * as Theirs from 'zego-zim-web';

type Fits<Source, Target> = [Source] extends [Target] ? true : false;
type Same<A, B> = [A, B] extends [B, A] ? true : false;
declare function holds<_Claim extends true>(): void;
declare function not<_Claim extends false>(): void;

// ---- enumerations: the same names and numbers
holds<Same<Ours.ZIMCallUserState, Theirs.ZIMCallUserState>>();
holds<Same<Ours.ZIMCallState, Theirs.ZIMCallState>>();
holds<Same<Ours.ZIMCallInvitationMode, Theirs.ZIMCallInvitationMode>>();
holds<Same<Ours.ZIMConnectionState, Theirs.ZIMConnectionState>>();
holds<Same<Ours.ZIMConnectionEvent, Theirs.ZIMConnectionEvent>>();
holds<Same<Ours.ZIMCXHandleType, Theirs.ZIMCXHandleType>>();

// ---- error codes: where both have a name, both have its number
type Code<Enum, Name extends keyof Enum> = `${Enum[Name] & number}`;
type Shared = keyof typeof Ours.ZIMErrorCode & keyof typeof Theirs.ZIMErrorCode;
type Differing = {
  [Name in Shared]: Code<typeof Ours.ZIMErrorCode, Name> extends Code<typeof Theirs.ZIMErrorCode, Name> ? never : Name;
}[Shared];
holds<Same<Differing, never>>();
// What only this package has is what no code there says, and nothing of calls there is missing here.
type Own = Exclude<keyof typeof Ours.ZIMErrorCode, Shared>;
holds<Fits<Own, 'CallModuleNeedsAdvancedMode' | `Command${string}` | `Database${string}` | `Engine${string}`>>();
holds<Same<Exclude<keyof typeof Theirs.ZIMErrorCode & `CallModule${string}`, Shared>, never>>();
not<Fits<Ours.ZIMErrorCode, Theirs.ZIMErrorCode>>();
not<Fits<Ours.ZIMError, Theirs.ZIMError>>();
holds<Same<Omit<Ours.ZIMError, 'code'>, Omit<Theirs.ZIMError, 'code'>>>();
holds<Fits<Ours.ZIMRejection, Ours.ZIMError & Error>>();

// ---- what an app gives
holds<Fits<Theirs.ZIMCallInviteConfig, Ours.ZIMCallInviteConfig>>();
holds<Fits<Theirs.ZIMCallingInviteConfig, Ours.ZIMCallingInviteConfig>>();
holds<Fits<Theirs.ZIMCallCancelConfig, Ours.ZIMCallCancelConfig>>();
holds<Fits<Theirs.ZIMCallAcceptConfig, Ours.ZIMCallAcceptConfig>>();
holds<Fits<Theirs.ZIMCallRejectConfig, Ours.ZIMCallRejectConfig>>();
holds<Fits<Theirs.ZIMCallJoinConfig, Ours.ZIMCallJoinConfig>>();
holds<Fits<Theirs.ZIMCallQuitConfig, Ours.ZIMCallQuitConfig>>();
holds<Fits<Theirs.ZIMCallEndConfig, Ours.ZIMCallEndConfig>>();
holds<Fits<Theirs.ZIMCallInvitationQueryConfig, Ours.ZIMCallInvitationQueryConfig>>();
holds<Fits<Theirs.ZIMPushConfig, Ours.ZIMPushConfig>>();
holds<Fits<Theirs.ZIMVoIPConfig, Ours.ZIMVoIPConfig>>();
holds<Fits<Theirs.ZIMLoginConfig, Ours.ZIMLoginConfig>>();
holds<Fits<Theirs.ZIMUserInfo, Ours.ZIMUserInfo>>();
not<Fits<Theirs.ZIMAppConfig, Ours.ZIMAppConfig>>();

// ---- what an app gets
holds<Fits<Ours.ZIMCallInvitationSentResult, Theirs.ZIMCallInvitationSentResult>>();
holds<Fits<Ours.ZIMCallingInvitationSentResult, Theirs.ZIMCallingInvitationSentResult>>();
holds<Fits<Ours.ZIMCallCancelSentResult, Theirs.ZIMCallCancelSentResult>>();
holds<Fits<Ours.ZIMCallAcceptanceSentResult, Theirs.ZIMCallAcceptanceSentResult>>();
holds<Fits<Ours.ZIMCallRejectionSentResult, Theirs.ZIMCallRejectionSentResult>>();
holds<Fits<Ours.ZIMCallJoinSentResult, Theirs.ZIMCallJoinSentResult>>();
holds<Fits<Ours.ZIMCallQuitSentResult, Theirs.ZIMCallQuitSentResult>>();
holds<Fits<Ours.ZIMCallEndSentResult, Theirs.ZIMCallEndSentResult>>();
holds<Fits<Ours.ZIMCallInvitationListQueriedResult, Theirs.ZIMCallInvitationListQueriedResult>>();
holds<Fits<Ours.ZIMCallInfo, Theirs.ZIMCallInfo>>();
holds<Same<Ours.ZIMCallUserInfo, Theirs.ZIMCallUserInfo>>();
holds<Same<Ours.ZIMErrorUserInfo, Theirs.ZIMErrorUserInfo>>();
holds<Same<Ours.ZIMTokenRenewedResult, Theirs.ZIMTokenRenewedResult>>();

// ---- what an app hears
holds<Fits<Ours.ZIMEventOfCallInvitationCreatedResult, Theirs.ZIMEventOfCallInvitationCreatedResult>>();
holds<Fits<Ours.ZIMEventOfCallInvitationReceivedResult, Theirs.ZIMEventOfCallInvitationReceivedResult>>();
holds<Fits<Ours.ZIMEventOfCallInvitationCancelledResult, Theirs.ZIMEventOfCallInvitationCancelledResult>>();
holds<Fits<Ours.ZIMEventOfCallInvitationTimeoutResult, Theirs.ZIMEventOfCallInvitationTimeoutResult>>();
holds<Fits<Ours.ZIMEventOfCallInvitationEndedResult, Theirs.ZIMEventOfCallInvitationEndedResult>>();
holds<Fits<Ours.ZIMEventOfCallUserStateChangedResult, Theirs.ZIMEventOfCallUserStateChangedResult>>();
holds<Same<Ours.ZIMEventOfConnectionStateChangedResult, Theirs.ZIMEventOfConnectionStateChangedResult>>();
holds<Same<Ours.ZIMEventOfTokenWillExpireResult, Theirs.ZIMEventOfTokenWillExpireResult>>();
type Events =
  | 'callInvitationCreated'
  | 'callInvitationReceived'
  | 'callInvitationCancelled'
  | 'callInvitationTimeout'
  | 'callInvitationEnded'
  | 'callUserStateChanged'
  | 'connectionStateChanged'
  | 'tokenWillExpire';
/** The handlers without their first parameter, which is each package's own instance. */
type Heard<Handler> = { [E in Events & keyof Handler]: Handler[E] extends (zim: never, info: infer I) => void ? I : never };
holds<Same<keyof Heard<Ours.ZIMEventHandler>, Events>>();
holds<Fits<Heard<Ours.ZIMEventHandler>, Heard<Theirs.ZIMEventHandler>>>();

// ---- what an app gets, and may make itself for its own state or its tests
holds<Fits<Theirs.ZIMCallingInvitationSentResult, Ours.ZIMCallingInvitationSentResult>>();
holds<Fits<Theirs.ZIMCallCancelSentResult, Ours.ZIMCallCancelSentResult>>();
holds<Fits<Theirs.ZIMCallAcceptanceSentResult, Ours.ZIMCallAcceptanceSentResult>>();
holds<Fits<Theirs.ZIMCallRejectionSentResult, Ours.ZIMCallRejectionSentResult>>();
holds<Fits<Theirs.ZIMCallJoinSentResult, Ours.ZIMCallJoinSentResult>>();
holds<Fits<Theirs.ZIMCallQuitSentResult, Ours.ZIMCallQuitSentResult>>();
holds<Fits<Theirs.ZIMCallEndSentResult, Ours.ZIMCallEndSentResult>>();
holds<Fits<Theirs.ZIMEventOfCallInvitationCreatedResult, Ours.ZIMEventOfCallInvitationCreatedResult>>();
holds<Fits<Theirs.ZIMEventOfCallInvitationCancelledResult, Ours.ZIMEventOfCallInvitationCancelledResult>>();
holds<Fits<Theirs.ZIMEventOfCallInvitationTimeoutResult, Ours.ZIMEventOfCallInvitationTimeoutResult>>();
holds<Fits<Theirs.ZIMEventOfCallInvitationEndedResult, Ours.ZIMEventOfCallInvitationEndedResult>>();
holds<Fits<Theirs.ZIMEventOfCallUserStateChangedResult, Ours.ZIMEventOfCallUserStateChangedResult>>();
// What is always told here and not at all there would have to be made, too (exceptions.js).
not<Fits<Theirs.ZIMCallInvitationSentResult, Ours.ZIMCallInvitationSentResult>>();
not<Fits<Theirs.ZIMEventOfCallInvitationReceivedResult, Ours.ZIMEventOfCallInvitationReceivedResult>>();
not<Fits<Theirs.ZIMCallInfo, Ours.ZIMCallInfo>>();
not<Fits<Theirs.ZIMCallInvitationListQueriedResult, Ours.ZIMCallInvitationListQueriedResult>>();

// ---- methods
type Commands =
  | 'callInvite'
  | 'callCancel'
  | 'callAccept'
  | 'callReject'
  | 'callingInvite'
  | 'callJoin'
  | 'callQuit'
  | 'callEnd'
  | 'queryCallInvitationList'
  | 'renewToken'
  | 'login'
  | 'logout'
  | 'destroy';
holds<Fits<Pick<Ours.ZIM, Commands>, Pick<Theirs.ZIM, Commands>>>();
holds<Fits<ReturnType<typeof Ours.ZIM.getVersion>, ReturnType<typeof Theirs.ZIM.getVersion>>>();
